#include "gateway/front/http_target.h"

#include "gateway/front/http_chars.h"
#include "gateway/front/http_field.h"
#include "protocol/error.h"

#include <arpa/inet.h>
#include <string.h>

static const struct pst_http_text slash = {"/", 1};
static const struct pst_http_text asterisk = {"*", 1};

static int
refuse(struct pst_http_refusal *refusal, unsigned status, const char *reason)
{
	refusal->status = status;
	refusal->reason = reason;
	return PST_ERR_PROTOCOL;
}

/* The part of TEXT from offset AT to its end. */
static struct pst_http_text
tail(struct pst_http_text text, size_t at)
{
	return (struct pst_http_text){text.data + at, text.len - at};
}

static int
check_chars(struct pst_http_text raw, struct pst_http_refusal *refusal)
{
	if (raw.len == 0)
		return refuse(refusal, 400, "empty request target");
	if (pst_http_all(raw, PST_HTTP_TARGET))
		return 0;
	if (memchr(raw.data, '#', raw.len) != NULL)
		return refuse(refusal, 400, "fragment in the request target");
	return refuse(refusal, 400,
	    pst_http_line_fault(raw, "request target has a byte that must be percent-encoded"));
}

/* "http://" or "https://" in front of RAW; its length goes to *LEN. */
static int
split_scheme(struct pst_http_target *target, struct pst_http_refusal *refusal)
{
	const char *colon = memchr(target->raw.data, ':', target->raw.len);
	struct pst_http_text rest;

	if (colon == NULL)
		return refuse(refusal, 400, "request target is neither a path nor a URI");
	rest = tail(target->raw, colon - target->raw.data);
	if (rest.len < 3 || memcmp(rest.data, "://", 3) != 0)
		return refuse(refusal, 400, "request target is neither a path nor a URI");
	target->scheme = (struct pst_http_text){target->raw.data, colon - target->raw.data};
	if (!pst_http_text_is(target->scheme, "http") && !pst_http_text_is(target->scheme, "https"))
		return refuse(refusal, 400, "request target of a scheme other than http and https");
	return 0;
}

static int
split_authority(
    struct pst_http_target *target, struct pst_http_text *rest, struct pst_http_refusal *refusal)
{
	size_t len = 0;

	while (len < rest->len && rest->data[len] != '/' && rest->data[len] != '?')
		len++;
	target->authority = (struct pst_http_text){rest->data, len};
	*rest = tail(*rest, len);
	if (len == 0)
		return refuse(refusal, 400, "request target without a host");
	if (memchr(target->authority.data, '@', len) != NULL)
		return refuse(refusal, 400, "request target with userinfo");
	if (!pst_http_host_valid(target->authority))
		return refuse(refusal, 400, "malformed host in the request target");
	return 0;
}

static void
split_query(struct pst_http_target *target, struct pst_http_text rest)
{
	const char *mark = memchr(rest.data, '?', rest.len);

	target->raw_path = rest;
	if (mark == NULL)
		return;
	target->raw_path.len = mark - rest.data;
	target->query = tail(rest, target->raw_path.len + 1);
}

static int
parse_absolute(struct pst_http_target *target, bool options, struct pst_http_refusal *refusal)
{
	struct pst_http_text rest;
	int err;

	target->form = PST_HTTP_FORM_ABSOLUTE;
	err = split_scheme(target, refusal);
	if (err != 0)
		return err;
	rest = tail(target->raw, target->scheme.len + strlen("://"));
	err = split_authority(target, &rest, refusal);
	if (err != 0)
		return err;
	if (rest.len == 0 && options) {
		target->form = PST_HTTP_FORM_ASTERISK;
		target->raw_path = asterisk;
		return 0;
	}
	split_query(target, rest);
	if (target->raw_path.len == 0)
		target->raw_path = slash;
	return 0;
}

/* The byte that %XX at AT stands for, or -1 when it is malformed. */
static int
decode_percent(struct pst_http_text text, size_t at)
{
	unsigned char high, low;

	if (text.len - at < 3)
		return -1;
	high = text.data[at + 1];
	low = text.data[at + 2];
	if (!pst_http_is(high, PST_HTTP_HEX) || !pst_http_is(low, PST_HTTP_HEX))
		return -1;
	return pst_http_hex(high) << 4 | pst_http_hex(low);
}

static int
decode_path(struct pst_http_target *target, char *decoded, struct pst_http_refusal *refusal)
{
	struct pst_http_text raw = target->raw_path;
	size_t len = 0;

	target->path = raw;
	if (memchr(raw.data, '%', raw.len) == NULL)
		return 0;
	for (size_t i = 0; i < raw.len; i++) {
		int byte = (unsigned char)raw.data[i];

		if (byte == '%') {
			byte = decode_percent(raw, i);
			i += 2;
		}
		if (byte < 0)
			return refuse(refusal, 400, "malformed percent-encoding in the path");
		if (byte == 0)
			return refuse(refusal, 400, "%00 in the path");
		decoded[len++] = (char)byte;
	}
	target->path = (struct pst_http_text){decoded, len};
	return 0;
}

int
pst_http_target_parse(struct pst_http_target *target, struct pst_http_text method,
    struct pst_http_text raw, char *decoded, struct pst_http_refusal *refusal)
{
	bool options = method.len == 7 && memcmp(method.data, "OPTIONS", 7) == 0;
	int err;

	*target = (struct pst_http_target){.raw = raw};
	if (method.len == 7 && memcmp(method.data, "CONNECT", 7) == 0)
		return refuse(refusal, 501, "CONNECT is not supported");
	err = check_chars(raw, refusal);
	if (err != 0)
		return err;
	if (raw.len == 1 && raw.data[0] == '*') {
		if (!options)
			return refuse(refusal, 400, "request target * is for OPTIONS only");
		target->form = PST_HTTP_FORM_ASTERISK;
		target->raw_path = target->path = asterisk;
		return 0;
	}
	if (raw.data[0] == '/') {
		target->form = PST_HTTP_FORM_ORIGIN;
		split_query(target, raw);
	} else {
		err = parse_absolute(target, options, refusal);
		if (err != 0)
			return err;
	}
	return decode_path(target, decoded, refusal);
}

static bool
port_valid(struct pst_http_text port)
{
	uint64_t number;

	return port.len == 0 || (pst_http_number(port, &number) == 0 && number <= 65535);
}

/* What stands between the brackets: an IPv6 address, or IPvFuture (RFC 3986, 3.2.2). */
static bool
literal_valid(struct pst_http_text text)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	size_t dot;

	if (text.len > 0 && (text.data[0] | 0x20) == 'v') {
		for (dot = 1; dot < text.len && pst_http_is(text.data[dot], PST_HTTP_HEX); dot++)
			continue;
		if (dot == 1 || dot + 1 >= text.len || text.data[dot] != '.')
			return false;
		for (size_t i = dot + 1; i < text.len; i++) {
			if (text.data[i] != ':' && !pst_http_is(text.data[i], PST_HTTP_REGNAME))
				return false;
		}
		return true;
	}
	if (text.len >= sizeof(address) || memchr(text.data, '\0', text.len) != NULL)
		return false;
	memcpy(address, text.data, text.len);
	address[text.len] = '\0';
	return inet_pton(AF_INET6, address, &in6) == 1;
}

static bool
regname_valid(struct pst_http_text name)
{
	if (pst_http_all(name, PST_HTTP_REGNAME))
		return name.len > 0;
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] == '%' && decode_percent(name, i) > 0)
			i += 2;
		else if (!pst_http_is(name.data[i], PST_HTTP_REGNAME))
			return false;
	}
	return name.len > 0;
}

bool
pst_http_host_valid(struct pst_http_text host)
{
	const char *end;
	struct pst_http_text port;
	bool literal = host.len > 0 && host.data[0] == '[';

	if (host.len == 0)
		return true;
	end = memchr(host.data, literal ? ']' : ':', host.len);
	if (literal) {
		if (end == NULL ||
		    !literal_valid((struct pst_http_text){host.data + 1, end - host.data - 1}))
			return false;
		end++;
	} else {
		if (end == NULL)
			end = host.data + host.len;
		if (!regname_valid((struct pst_http_text){host.data, end - host.data}))
			return false;
	}
	port = tail(host, end - host.data);
	return port.len == 0 || (port.data[0] == ':' && port_valid(tail(port, 1)));
}
