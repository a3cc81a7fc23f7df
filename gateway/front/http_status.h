/* Reason phrases of the registered status codes (RFC 9110, section 15, and the IANA registry). */
#ifndef PST_GATEWAY_FRONT_HTTP_STATUS_H
#define PST_GATEWAY_FRONT_HTTP_STATUS_H

/* "Not Found" for 404; the name of the class ("Client Error") for codes that are not registered. */
const char *pst_http_status_phrase(unsigned status);

#endif
