#include "adapters/head.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* RFC 9110, section 15, and the IANA registry. */
static const struct {
	int status;
	const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a Teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {510, "Not Extended"},
    {511, "Network Authentication Required"},
};

/* What would break the framing that the gateway does, or, for Status, what CGI would obey. */
static const struct {
	const char *name;
	size_t length;
} refused_names[] = {
    {"connection", 10},
    {"keep-alive", 10},
    {"proxy-authenticate", 18},
    {"proxy-authorization", 19},
    {"proxy-connection", 16},
    {"status", 6},
    {"te", 2},
    {"trailer", 7},
    {"trailers", 8},
    {"transfer-encoding", 17},
    {"upgrade", 7},
};

/* A bit for each length that one of them has: few other names have one of those. */
#define REFUSED_LENGTHS                                                                            \
	(1U << 2 | 1U << 6 | 1U << 7 | 1U << 8 | 1U << 10 | 1U << 16 | 1U << 17 | 1U << 18 |       \
	    1U << 19)

const char *
pst_head_phrase(int status)
{
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}

/* RFC 9110, section 5.6.2: the digits, the letters and !#$%&'*+-.^_`|~, a bit for each. */
static inline bool
is_token_byte(unsigned char c)
{
	static const uint64_t tokens[4] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};

	return tokens[c / 64] >> c % 64 & 1;
}

/* HTAB, SP, VCHAR, obs-text. */
static inline bool
is_text_byte(unsigned char c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* The first byte of N that is no part of a token, or N. */
static size_t
first_no_token(const char *bytes, size_t n)
{
	size_t i = 0;

	while (i < n && is_token_byte((unsigned char)bytes[i]))
		i++;
	return i;
}

/* Eight bytes at once: false when one of them may be below 0x20 or is 0x7f. */
static inline bool
are_text_bytes(const char *bytes)
{
	const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
	uint64_t word, del;

	memcpy(&word, bytes, sizeof(word));
	del = word ^ ones * 0x7f;
	return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops) == 0;
}

/* The first byte of N that is no text, or N. */
static size_t
first_no_text(const char *bytes, size_t n)
{
	size_t i = 0;

	while (n - i >= 8 && are_text_bytes(bytes + i))
		i += 8;
	while (i < n && is_text_byte((unsigned char)bytes[i]))
		i++;
	return i;
}

static inline bool
is_named(const struct pst_field *field, const char *name, size_t length)
{
	return length == field->name_len && strncasecmp(field->name, name, length) == 0;
}

/* The two usual ways to write it first, which the compiler compares by the word. */
static inline bool
is_content_length(const struct pst_field *field)
{
	const size_t n = sizeof("Content-Length") - 1;

	return field->name_len == n && (memcmp(field->name, "Content-Length", n) == 0 ||
					   memcmp(field->name, "content-length", n) == 0 ||
					   strncasecmp(field->name, "content-length", n) == 0);
}

static bool
is_refused_name(const struct pst_field *field)
{
	if (field->name_len > 19 || (REFUSED_LENGTHS >> field->name_len & 1) == 0)
		return false;
	for (size_t i = 0; i < sizeof(refused_names) / sizeof(refused_names[0]); i++)
		if (is_named(field, refused_names[i].name, refused_names[i].length))
			return true;
	return false;
}

/* 18 digits are below 2^63, which is all that anybody counts with. */
static bool
is_length(const struct pst_field *field)
{
	for (size_t i = 0; i < field->value_len; i++)
		if (field->value[i] < '0' || field->value[i] > '9')
			return false;
	return field->value_len > 0 && field->value_len <= 18;
}

static int
check_name(const struct pst_field *field, size_t index, char *why, size_t why_size)
{
	size_t bad = first_no_token(field->name, field->name_len);

	if (field->name_len == 0) {
		snprintf(why, why_size, "field %zu: the name is empty", index + 1);
		return PST_RESULT_INVALID;
	}
	if (bad < field->name_len) {
		snprintf(why, why_size, "field %zu, %.*s: byte 0x%02x in the name", index + 1,
		    (int)(bad < 60 ? bad : 60), field->name, (unsigned char)field->name[bad]);
		return PST_RESULT_INVALID;
	}
	if (is_refused_name(field)) {
		snprintf(why, why_size, "field %zu, %.*s: %s", index + 1, (int)field->name_len,
		    field->name,
		    is_named(field, "status", 6) ? "the status is given apart from the fields"
						 : "hop-by-hop fields are the gateway's affair");
		return PST_RESULT_INVALID;
	}
	return PST_RESULT_OK;
}

static int
check_value(const struct pst_field *field, size_t index, char *why, size_t why_size)
{
	size_t bad = first_no_text(field->value, field->value_len);
	int shown = (int)(field->name_len < 60 ? field->name_len : 60);

	if (bad < field->value_len) {
		snprintf(why, why_size, "field %zu, %.*s: byte 0x%02x in the value", index + 1,
		    shown, field->name, (unsigned char)field->value[bad]);
		return PST_RESULT_INVALID;
	}
	if (is_content_length(field) && !is_length(field)) {
		snprintf(why, why_size, "field %zu, %.*s: \"%.*s\" is no length", index + 1, shown,
		    field->name, (int)(field->value_len < 60 ? field->value_len : 60),
		    field->value);
		return PST_RESULT_INVALID;
	}
	return PST_RESULT_OK;
}

static int
check_fields(const struct pst_field *fields, size_t count, char *why, size_t why_size)
{
	bool has_length = false;

	for (size_t i = 0; i < count; i++) {
		int result = check_name(&fields[i], i, why, why_size);
		if (result == PST_RESULT_OK)
			result = check_value(&fields[i], i, why, why_size);
		if (result != PST_RESULT_OK)
			return result;
		if (!is_content_length(&fields[i]))
			continue;
		if (has_length) {
			snprintf(why, why_size, "field %zu: a second Content-Length", i + 1);
			return PST_RESULT_INVALID;
		}
		has_length = true;
	}
	return PST_RESULT_OK;
}

static int
check_status(int status, const char *reason, char *why, size_t why_size)
{
	size_t n = strlen(reason);
	size_t bad = first_no_text(reason, n);

	if (status < 100 || status > 599 || status == 101) {
		snprintf(why, why_size, "status %d is not one of 100, 102 to 599", status);
		return PST_RESULT_INVALID;
	}
	if (bad < n) {
		snprintf(
		    why, why_size, "byte 0x%02x in the reason phrase", (unsigned char)reason[bad]);
		return PST_RESULT_INVALID;
	}
	return PST_RESULT_OK;
}

/* The bytes of the head, or 0 when it is larger than PST_HEAD_MAX. Every term is checked before
 * it is added, so that the sum cannot wrap around. */
static size_t
head_size(const char *reason, const struct pst_field *fields, size_t count)
{
	size_t n = strlen(reason);
	size_t total = sizeof("Status: 200 \r\n\r\n") - 1;

	if (n > PST_HEAD_MAX)
		return 0;
	total += n;
	for (size_t i = 0; i < count && total <= PST_HEAD_MAX; i++) {
		if (fields[i].name_len > PST_HEAD_MAX || fields[i].value_len > PST_HEAD_MAX)
			return 0;
		total += fields[i].name_len + fields[i].value_len + sizeof(": \r\n") - 1;
	}
	return total <= PST_HEAD_MAX ? total : 0;
}

static char *
put(char *to, const char *bytes, size_t n)
{
	if (n > 0)
		memcpy(to, bytes, n);
	return to + n;
}

static void
write_head(char *to, int status, const char *reason, const struct pst_field *fields, size_t count)
{
	const char digits[] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
	    (char)('0' + status % 10), ' '};

	to = put(to, "Status: ", 8);
	to = put(to, digits, sizeof(digits));
	to = put(to, reason, strlen(reason));
	for (size_t i = 0; i < count; i++) {
		to = put(to, "\r\n", 2);
		to = put(to, fields[i].name, fields[i].name_len);
		to = put(to, ": ", 2);
		to = put(to, fields[i].value, fields[i].value_len);
	}
	put(to, "\r\n\r\n", 4);
}

static int
too_large(char *why, size_t why_size)
{
	snprintf(why, why_size, "the head is larger than %d bytes", PST_HEAD_MAX);
	return PST_RESULT_INVALID;
}

static int
no_memory(char *why, size_t why_size)
{
	snprintf(why, why_size, "memory is short");
	return PST_RESULT_ERROR;
}

/* Append a head that was checked. */
static int
append(struct pst_buf *out, int status, const char *reason, const struct pst_field *fields,
    size_t count, char *why, size_t why_size)
{
	size_t size = head_size(reason, fields, count);
	char *to;

	if (size == 0)
		return too_large(why, why_size);
	to = (char *)pst_buf_reserve(out, size);
	if (!to)
		return no_memory(why, why_size);
	write_head(to, status, reason, fields, count);
	pst_buf_commit(out, size);
	return PST_RESULT_OK;
}

/*
 * Whether the head at BYTES is the kept one. Where as many fields make the same bytes as those that
 * were checked, each line is a field's, since a line break within one would make a line more; and
 * where the names are as long, too, they and the values are the same.
 */
static bool
is_kept(const struct pst_head_kept *kept, int status, const struct pst_field *fields, size_t count,
    const char *bytes, size_t size)
{
	if (!kept || pst_buf_length(&kept->bytes) != size || kept->count != count ||
	    kept->status != status)
		return false;
	for (size_t i = 0; i < count; i++)
		if (kept->names[i] != fields[i].name_len)
			return false;
	return memcmp(pst_buf_bytes(&kept->bytes), bytes, size) == 0;
}

/* It was checked. */
static void
keep(struct pst_head_kept *kept, int status, const struct pst_field *fields, size_t count,
    const char *bytes, size_t size)
{
	if (!kept || count > PST_HEAD_KEPT_FIELDS || size > PST_HEAD_KEPT_BYTES)
		return;
	pst_buf_consume(&kept->bytes, pst_buf_length(&kept->bytes));
	if (pst_buf_append(&kept->bytes, bytes, size) < 0)
		return;
	kept->status = status;
	kept->count = count;
	for (size_t i = 0; i < count; i++)
		kept->names[i] = (unsigned short)fields[i].name_len;
}

void
pst_head_kept_free(struct pst_head_kept *kept)
{
	pst_buf_free(&kept->bytes);
}

static int
check(int status, const char *reason, const struct pst_field *fields, size_t count, char *why,
    size_t why_size)
{
	int result = check_status(status, reason, why, why_size);

	return result == PST_RESULT_OK ? check_fields(fields, count, why, why_size) : result;
}

/* What was written is no part of OUT before it is found good. */
int
pst_head_append(struct pst_buf *out, struct pst_head_kept *kept, int status, const char *reason,
    const struct pst_field *fields, size_t count, char *why, size_t why_size)
{
	size_t size;
	char *to;
	int result;

	if (!reason)
		reason = pst_head_phrase(status);
	size = head_size(reason, fields, count);
	if (size == 0) {
		result = check(status, reason, fields, count, why, why_size);
		return result < 0 ? result : too_large(why, why_size);
	}
	to = (char *)pst_buf_reserve(out, size);
	if (!to)
		return no_memory(why, why_size);
	write_head(to, status, reason, fields, count);
	if (!is_kept(kept, status, fields, count, to, size)) {
		result = check(status, reason, fields, count, why, why_size);
		if (result < 0)
			return result;
		keep(kept, status, fields, count, to, size);
	}
	pst_buf_commit(out, size);
	return PST_RESULT_OK;
}

int
pst_head_append_upgrade(struct pst_buf *out, const char *what, const struct pst_field *fields,
    size_t count, char *why, size_t why_size)
{
	int result = check_fields(fields, count, why, why_size);
	char marked[64];

	if (result != PST_RESULT_OK)
		return result;
	snprintf(marked, sizeof(marked), "Switching Protocols\r\nPenstock-Upgrade: %s", what);
	return append(out, 101, marked, fields, count, why, why_size);
}

int
pst_head_check_trailers(const struct pst_field *fields, size_t count, char *why, size_t why_size)
{
	int result = check_fields(fields, count, why, why_size);

	for (size_t i = 0; i < count && result == PST_RESULT_OK; i++) {
		if (!is_content_length(&fields[i]))
			continue;
		snprintf(why, why_size, "field %zu: Content-Length cannot follow the body", i + 1);
		result = PST_RESULT_INVALID;
	}
	return result;
}
