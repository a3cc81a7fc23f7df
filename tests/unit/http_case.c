#include "tests/unit/http_case.h"

#include "protocol/error.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const forms[] = {"origin", "absolute", "asterisk"};

#define TEXT(text) (int)(text).len, (text).data

/* What came of parsing: to be equal however the bytes were cut. */
struct outcome {
	int rc;
	size_t consumed;
	char text[8192];
};

static void
print_body(FILE *to, const struct pst_http_request *request)
{
	switch (request->body) {
	case PST_HTTP_BODY_NONE: fputs(" body=none", to); break;
	case PST_HTTP_BODY_LENGTH:
		fprintf(to, " body=%llu", (unsigned long long)request->content_length);
		break;
	case PST_HTTP_BODY_CHUNKED: fputs(" body=chunked", to); break;
	}
	if (request->expect_continue)
		fputs(" expect", to);
	if (request->upgrade.len > 0)
		fprintf(to, " upgrade=%.*s", TEXT(request->upgrade));
}

const char *
http_case_print(const struct pst_http_request *request)
{
	static char text[8192];
	FILE *to = fmemopen(text, sizeof(text), "w");

	fprintf(to, "%.*s %s %.*s", TEXT(request->method), forms[request->target.form],
	    TEXT(request->target.path));
	if (request->target.query.len > 0)
		fprintf(to, "?%.*s", TEXT(request->target.query));
	fprintf(to, " host=%.*s 1.%u %s", TEXT(request->host), request->minor,
	    request->keep_alive ? "keep" : "close");
	print_body(to, request);
	for (size_t i = 0; i < request->field_count; i++) {
		const struct pst_http_field *field = &request->fields[i];

		fprintf(to, "%s%.*s=%.*s%s", i == 0 ? " |" : ";", TEXT(field->name),
		    TEXT(field->value), field->hop ? "*" : "");
	}
	fclose(to);
	return text;
}

/* Feed BYTES in pieces: FIRST bytes, then pieces of STEP bytes. */
static void
parse(struct pst_http_request *request, const struct http_case *c, size_t first, size_t step,
    struct outcome *outcome)
{
	size_t at = 0;

	*outcome = (struct outcome){0};
	pst_http_request_reset(request);
	while (at < c->len && outcome->rc == 0) {
		size_t n = at == 0 ? first : step;
		size_t consumed;
		char *piece;

		if (n > c->len - at)
			n = c->len - at;
		/* Exactly as long as the piece, so that a sanitizer sees a read beyond it. */
		piece = malloc(n);
		ck_assert_ptr_nonnull(piece);
		memcpy(piece, c->bytes + at, n);
		outcome->rc = pst_http_request_parse(request, piece, n, &consumed);
		free(piece);
		ck_assert_uint_le(consumed, n);
		ck_assert_msg(outcome->rc != 0 || consumed == n, "%s: bytes left over", c->name);
		outcome->consumed += consumed;
		at += n;
	}
	if (outcome->rc == 1)
		snprintf(outcome->text, sizeof(outcome->text), "%s", http_case_print(request));
	else if (outcome->rc == PST_ERR_PROTOCOL)
		snprintf(outcome->text, sizeof(outcome->text), "%u %s", request->refusal.status,
		    request->refusal.reason);
}

static void
check_equal(const struct http_case *c, const struct outcome *a, const struct outcome *b, size_t cut)
{
	ck_assert_msg(a->rc == b->rc && a->consumed == b->consumed && strcmp(a->text, b->text) == 0,
	    "%s: cut at %zu: %d %zu \"%s\", whole: %d %zu \"%s\"", c->name, cut, b->rc, b->consumed,
	    b->text, a->rc, a->consumed, a->text);
}

void
http_case_check(const struct http_case *c)
{
	struct pst_http_request request;
	struct outcome whole, cut;
	char expect[8192];

	pst_http_request_init(&request, c->limits != NULL ? c->limits : &PST_HTTP_DEFAULT_LIMITS);
	parse(&request, c, c->len, 1, &whole);
	parse(&request, c, 1, 1, &cut);
	check_equal(c, &whole, &cut, 0);
	for (size_t i = 1; i < c->len; i++) {
		parse(&request, c, i, c->len, &cut);
		check_equal(c, &whole, &cut, i);
	}
	pst_http_request_free(&request);
	if (c->status != 0)
		snprintf(expect, sizeof(expect), "%u %s", c->status, c->expect);
	else
		snprintf(expect, sizeof(expect), "%s", c->expect);
	ck_assert_msg(strcmp(whole.text, expect) == 0, "%s:\n  got      \"%s\"\n  expected \"%s\"",
	    c->name, whole.text, expect);
}
