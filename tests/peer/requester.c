/*
 * requester [OPTION]... ADDRESS [NAME=VALUE]...: asks a FastCGI server as a web server would, with
 * stdin as the body. STDOUT goes to stdout, STDERR to stderr, and how each request ended to stderr
 * as "end END STATUS".
 *
 *	-k      keep the connection
 *	-n N    N requests, one after the other, on one connection (with -k)
 *	-a      abort at the first byte of the answer
 *	-v      ask GET_VALUES instead and print what is answered
 */
#include "protocol/buf.h"
#include "tests/peer/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct requester {
	struct pst_session *session;
	struct pst_buf body;
	char **params;
	unsigned left;
	bool keep;
	bool aborts;
	bool failed;
	bool done;
};

static void
ask(struct requester *requester)
{
	struct pst_session *session = requester->session;
	uint16_t id;
	const char *equals;
	int err = pst_session_submit_begin(session, PST_ROLE_RESPONDER, requester->keep, &id);

	requester->left--;
	for (char **param = requester->params; err == 0 && *param != NULL; param++) {
		equals = strchr(*param, '=');
		if (equals == NULL) {
			fprintf(stderr, "%s: not NAME=VALUE\n", *param);
			exit(2);
		}
		err = pst_session_submit_param(
		    session, id, *param, (size_t)(equals - *param), equals + 1, strlen(equals + 1));
	}
	if (err == 0)
		err = pst_session_submit_params_end(session, id);
	if (err == 0 && pst_buf_length(&requester->body) > 0)
		err = pst_session_submit_data(session, id, PST_STREAM_STDIN,
		    pst_buf_bytes(&requester->body), pst_buf_length(&requester->body));
	if (err == 0)
		err = pst_session_submit_data(session, id, PST_STREAM_STDIN, NULL, 0);
	if (err != 0) {
		fprintf(stderr, "submit: %s\n", pst_error_string(err));
		requester->failed = true;
	}
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct requester *requester = arg;

	if (n > 0)
		fwrite(bytes, 1, n, stream == PST_STREAM_STDOUT ? stdout : stderr);
	if (requester->aborts && n > 0)
		pst_session_submit_abort(requester->session, id, PST_SESSION_ABORT_CLIENT);
	requester->aborts = false;
}

/* Nothing more to ask: the server would keep the connection, we do not. */
static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct requester *requester = arg;

	(void)id;
	fprintf(stderr, "end %d %lu\n", (int)end, (unsigned long)app_status);
	if (end != PST_END_COMPLETE)
		requester->failed = true;
	else if (requester->left > 0)
		ask(requester);
	else
		requester->done = true;
}

static void
on_value(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	if (name == NULL)
		((struct requester *)arg)->done = true;
	else
		printf("%.*s=%.*s\n", (int)name_len, name, (int)value_len, value);
}

static const struct pst_session_callbacks callbacks = {
    .data = on_data,
    .end = on_end,
    .value = on_value,
};

static void
read_body(struct pst_buf *body)
{
	unsigned char *to;
	ssize_t n;

	do {
		to = pst_buf_reserve(body, 65536);
		n = to != NULL ? read(STDIN_FILENO, to, 65536) : -1;
		if (n < 0) {
			perror("stdin");
			exit(2);
		}
		pst_buf_commit(body, (size_t)n);
	} while (n > 0);
}

static void
ask_values(struct requester *requester)
{
	pst_session_submit_get_value(requester->session, "FCGI_MAX_CONNS", 14);
	pst_session_submit_get_value(requester->session, "FCGI_MAX_REQS", 13);
	pst_session_submit_get_value(requester->session, "FCGI_MPXS_CONNS", 15);
}

static int
run(struct requester *requester, const char *address, bool values)
{
	int fd = stream_connect(address), err;

	requester->session = pst_session_new_client(&callbacks, NULL, requester);
	if (requester->session == NULL)
		return 1;
	if (values) {
		ask_values(requester);
	} else {
		read_body(&requester->body);
		ask(requester);
	}
	err = stream_run(fd, requester->session, &requester->done);
	close(fd);
	pst_session_free(requester->session);
	pst_buf_free(&requester->body);
	return err != 0 || requester->failed || !requester->done;
}

int
main(int argc, char **argv)
{
	struct requester requester = {.left = 1};
	bool values = false;
	int option;

	while ((option = getopt(argc, argv, "kn:av")) != -1) {
		switch (option) {
		case 'k': requester.keep = true; break;
		case 'n': requester.left = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'a': requester.aborts = true; break;
		case 'v': values = true; break;
		default: return 2;
		}
	}
	if (optind == argc) {
		fprintf(stderr, "usage: requester [-kav] [-n N] ADDRESS [NAME=VALUE]...\n");
		return 2;
	}
	requester.params = argv + optind + 1;
	return run(&requester, argv[optind], values);
}
