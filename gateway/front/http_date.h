/* The date of a message: IMF-fixdate (RFC 9110, section 5.6.7), "Sun, 06 Nov 1994 08:49:37 GMT". */
#ifndef PST_GATEWAY_FRONT_HTTP_DATE_H
#define PST_GATEWAY_FRONT_HTTP_DATE_H

#include <stdint.h>

#define PST_HTTP_DATE_LEN 29

/* Write the date of NOW (seconds since 1970; years 1970 to 9999) and a NUL to TEXT. */
void pst_http_date_format(int64_t now, char text[PST_HTTP_DATE_LEN + 1]);

/* The date of the second last asked for. A struct of zero bytes is valid. */
struct pst_http_date {
	int64_t second;
	char text[PST_HTTP_DATE_LEN + 1];
};

/* The text for NOW, made anew only when the second has changed; valid until the next call. */
const char *pst_http_date_at(struct pst_http_date *date, int64_t now);

#endif
