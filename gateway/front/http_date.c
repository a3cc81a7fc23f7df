#include "gateway/front/http_date.h"

#include <stdio.h>

static const char *const weekdays[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
static const char *const months[] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/*
 * Civil date of DAY since 1970-01-01. The year is counted from March, so that the leap day is its
 * last, within eras of 400 years (146097 days); 719468 days lie between 0000-03-01 and 1970.
 */
static void
civil(int64_t day, unsigned *year, unsigned *month, unsigned *mday)
{
	int64_t z = day + 719468;
	int64_t era = z / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned from_march = (5 * doy + 2) / 153;

	*mday = doy - (153 * from_march + 2) / 5 + 1;
	*month = from_march < 10 ? from_march + 2 : from_march - 10;
	*year = yoe + (unsigned)(era * 400) + (*month < 2);
}

void
pst_http_date_format(int64_t now, char text[PST_HTTP_DATE_LEN + 1])
{
	const int64_t last = 253402300799; /* 9999-12-31 23:59:59 */
	unsigned year, month, mday, second;
	int64_t day;
	char wide[64];

	if (now < 0)
		now = 0;
	if (now > last)
		now = last;
	day = now / 86400;
	second = (unsigned)(now % 86400);
	civil(day, &year, &month, &mday);
	snprintf(wide, sizeof(wide), "%s, %02u %s %04u %02u:%02u:%02u GMT", weekdays[day % 7], mday,
	    months[month], year, second / 3600, second / 60 % 60, second % 60);
	for (int i = 0; i < PST_HTTP_DATE_LEN; i++)
		text[i] = wide[i];
	text[PST_HTTP_DATE_LEN] = '\0';
}

const char *
pst_http_date_at(struct pst_http_date *date, int64_t now)
{
	if (date->text[0] == '\0' || date->second != now) {
		pst_http_date_format(now, date->text);
		date->second = now;
	}
	return date->text;
}
