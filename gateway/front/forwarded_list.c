#include "gateway/front/forwarded_list.h"

#include "gateway/front/http_chars.h"

static void
skip_space(struct pst_http_text *rest)
{
	while (rest->len > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t'))
		rest->data++, rest->len--;
}

static struct pst_http_text
take(struct pst_http_text *rest, size_t n)
{
	struct pst_http_text taken = {rest->data, n};

	rest->data += n;
	rest->len -= n;
	return taken;
}

static struct pst_http_text
take_token(struct pst_http_text *rest)
{
	size_t n = 0;

	while (n < rest->len && pst_http_is((unsigned char)rest->data[n], PST_HTTP_TCHAR))
		n++;
	return take(rest, n);
}

/* The inside of a quoted-string; *ESCAPED: it holds quoted-pairs. False: it does not end. */
static bool
take_quoted(struct pst_http_text *rest, struct pst_http_text *inside, bool *escaped)
{
	take(rest, 1);
	for (size_t n = 0; n < rest->len; n++) {
		if (rest->data[n] == '"') {
			*inside = take(rest, n);
			take(rest, 1);
			return true;
		}
		if (rest->data[n] == '\\') {
			*escaped = true;
			n++;
		}
	}
	return false;
}

/* Where the value of parameter NAME goes; NULL for extensions, which are passed over. */
static struct pst_http_text *
parameter(struct pst_forwarded_hop *hop, struct pst_http_text name)
{
	if (pst_http_text_is(name, "for"))
		return &hop->node;
	if (pst_http_text_is(name, "proto"))
		return &hop->proto;
	if (pst_http_text_is(name, "host"))
		return &hop->host;
	return pst_http_text_is(name, "by") ? &hop->by : NULL;
}

/* One name=value. */
static bool
take_pair(struct pst_http_text *rest, struct pst_forwarded_hop *hop)
{
	struct pst_http_text name = take_token(rest), value, *to;
	bool escaped = false;

	if (name.len == 0 || rest->len < 2 || rest->data[0] != '=')
		return false;
	take(rest, 1);
	if (rest->data[0] != '"')
		value = take_token(rest);
	else if (!take_quoted(rest, &value, &escaped))
		return false;
	hop->any = true;
	to = parameter(hop, name);
	if (!to)
		return true;
	/* An address, host or scheme needs no quoted-pair; a second one of a name is ambiguous. */
	if (value.len == 0 || escaped || to->len > 0)
		return false;
	*to = value;
	return true;
}

bool
pst_forwarded_list_add(struct pst_forwarded_list *list, struct pst_http_text rest)
{
	struct pst_forwarded_hop hop = {.any = false};

	for (;;) {
		skip_space(&rest);
		if (rest.len == 0 || rest.data[0] == ',') {
			if (hop.any)
				list->hops[list->count++ % PST_FORWARDED_HOPS] = hop;
			hop = (struct pst_forwarded_hop){.any = false};
			if (rest.len == 0)
				return true;
			take(&rest, 1);
			continue;
		}
		if (rest.data[0] == ';') {
			take(&rest, 1);
			continue;
		}
		if (!take_pair(&rest, &hop))
			return false;
		skip_space(&rest);
		if (rest.len > 0 && rest.data[0] != ';' && rest.data[0] != ',')
			return false;
	}
}
