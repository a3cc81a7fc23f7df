#include "gateway/front/figures.h"

void
pst_figures_wait(struct pst_figures *figures, uint64_t us)
{
	figures->waits++;
	figures->wait_us += us;
	if (us > figures->wait_us_most)
		figures->wait_us_most = us;
}

void
pst_figures_usage(struct pst_figures *figures, uint64_t cpu, uint64_t waited, uint64_t lag)
{
	figures->usages++;
	figures->cpu_us += cpu;
	figures->waited_us += waited;
	if (lag > figures->lag_us_most)
		figures->lag_us_most = lag;
}

enum pst_failure
pst_failure_of(unsigned status)
{
	switch (status) {
	case 502: return PST_FAILURE_502;
	case 503: return PST_FAILURE_503;
	case 504: return PST_FAILURE_504;
	default: return PST_FAILURE_OTHER;
	}
}

void
pst_figures_put(const struct pst_figures *figures, struct pst_status_line *line)
{
	static const char *const names[PST_FAILURES] = {
	    [PST_FAILURE_502] = "failed.502",
	    [PST_FAILURE_503] = "failed.503",
	    [PST_FAILURE_504] = "failed.504",
	    [PST_FAILURE_OTHER] = "failed.other",
	    [PST_FAILURE_BROKEN] = "failed.broken",
	    [PST_FAILURE_LEFT] = "failed.client_left",
	};

	pst_status_number(line, "requests", figures->requests);
	pst_status_number(line, "websockets", figures->open);
	pst_status_number(line, "wait.count", figures->waits);
	pst_status_number(line, "wait.sum_us", figures->wait_us);
	pst_status_number(line, "wait.max_us", figures->wait_us_most);
	pst_status_number(line, "usage.count", figures->usages);
	pst_status_number(line, "usage.cpu_us", figures->cpu_us);
	pst_status_number(line, "usage.waited_us", figures->waited_us);
	pst_status_number(line, "usage.lag_max_us", figures->lag_us_most);
	pst_status_number(line, "run_again", figures->run_again);
	pst_status_number(line, "sent_ahead", figures->sent_ahead);
	pst_status_number(line, "called_back", figures->called_back);
	for (int i = 0; i < PST_FAILURES; i++)
		pst_status_number(line, names[i], figures->failed[i]);
}
