#include "gateway/front/websocket_handshake.h"

#include "gateway/front/base64.h"
#include "gateway/front/http_chars.h"

#include <sha1.h>
#include <string.h>

/* 16 bytes in base64. */
#define KEY_LEN 24

_Static_assert(PST_WEBSOCKET_ACCEPT_LEN == PST_BASE64_LENGTH(SHA1_DIGEST_LENGTH), "see base64.h");

bool
pst_websocket_wanted(const struct pst_http_request *request)
{
	struct pst_http_text rest = request->upgrade;
	struct pst_http_text protocol;

	while (pst_http_list_next(&rest, &protocol)) {
		if (pst_http_text_is(protocol, "websocket"))
			return true;
	}
	return false;
}

static bool
refuse(struct pst_http_refusal *refusal, unsigned status, const char *reason)
{
	*refusal = (struct pst_http_refusal){status, reason};
	return false;
}

/* The only field called NAME; NULL: there is none, or more than one. */
static const struct pst_http_field *
the_field(const struct pst_http_request *request, const char *name)
{
	const struct pst_http_field *found = NULL;

	for (size_t i = 0; i < request->field_count; i++) {
		if (!pst_http_text_is(request->fields[i].name, name))
			continue;
		if (found != NULL)
			return NULL;
		found = &request->fields[i];
	}
	return found;
}

static bool
is_key(struct pst_http_text key)
{
	char bytes[18];

	return key.len == KEY_LEN && memcmp(key.data + KEY_LEN - 2, "==", 2) == 0 &&
	       pst_base64_decode(bytes, sizeof(bytes), key.data, key.len) == 16;
}

/* RFC 6455, 4.2.2, 5.4. */
static void
accept_key(char *accept, struct pst_http_text key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t digest[SHA1_DIGEST_LENGTH];
	SHA1_CTX sha1;

	SHA1Init(&sha1);
	SHA1Update(&sha1, (const uint8_t *)key.data, key.len);
	SHA1Update(&sha1, (const uint8_t *)guid, sizeof(guid) - 1);
	SHA1Final(digest, &sha1);
	pst_base64_encode(accept, digest, sizeof(digest));
}

/* Several fields are one list (RFC 6455, 11.3.2). */
static bool
choose_terms(struct pst_websocket_terms *terms, const struct pst_http_request *request)
{
	for (size_t i = 0; i < request->field_count; i++) {
		const struct pst_http_field *field = &request->fields[i];

		if (pst_http_text_is(field->name, "sec-websocket-extensions") &&
		    pst_websocket_terms_choose(terms, field->value) != 0)
			return false;
	}
	return true;
}

bool
pst_websocket_handshake(struct pst_websocket_handshake *handshake,
    const struct pst_http_request *request, bool deflate, struct pst_http_refusal *refusal)
{
	const struct pst_http_field *version = the_field(request, "sec-websocket-version");
	const struct pst_http_field *key = the_field(request, "sec-websocket-key");

	*handshake = (struct pst_websocket_handshake){0};
	if (request->method.len != 3 || memcmp(request->method.data, "GET", 3) != 0)
		return refuse(refusal, 400, "a WebSocket begins with a GET request");
	if (request->body != PST_HTTP_BODY_NONE)
		return refuse(refusal, 400, "a WebSocket begins with a request without a body");
	if (version == NULL || !pst_http_text_is(version->value, "13"))
		return refuse(refusal, 426, "the version of WebSocket here is 13");
	if (key == NULL || !is_key(key->value))
		return refuse(refusal, 400, "Sec-WebSocket-Key is not 16 bytes in base64");
	if (!choose_terms(&handshake->terms, request))
		return refuse(refusal, 400, "malformed Sec-WebSocket-Extensions");
	if (!deflate)
		handshake->terms = (struct pst_websocket_terms){0};
	accept_key(handshake->accept, key->value);
	return true;
}

bool
pst_websocket_offered(const struct pst_http_request *request, struct pst_http_text protocol)
{
	for (size_t i = 0; i < request->field_count; i++) {
		struct pst_http_text rest = request->fields[i].value;
		struct pst_http_text offered;

		if (!pst_http_text_is(request->fields[i].name, "sec-websocket-protocol"))
			continue;
		while (pst_http_list_next(&rest, &offered)) {
			if (offered.len == protocol.len && protocol.len > 0 &&
			    memcmp(offered.data, protocol.data, protocol.len) == 0)
				return true;
		}
	}
	return false;
}
