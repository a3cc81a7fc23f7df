#include "adapters/python/title.h"

#include <stdio.h>
#include <string.h>

const struct pst_field *
pst_title_param(const struct pst_field *params, size_t count, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < count; i++)
		if (params[i].name_len == length && memcmp(params[i].name, name, length) == 0)
			return &params[i];
	return NULL;
}

/* Append the printable form of VALUE up to a '?'; returns the new length, below N. */
static size_t
append_clean(char *text, size_t at, size_t n, const struct pst_field *value)
{
	if (value == NULL)
		return at;
	for (size_t i = 0; i < value->value_len && value->value[i] != '?' && at + 5 < n; i++) {
		unsigned char byte = (unsigned char)value->value[i];

		if (byte > 0x20 && byte < 0x7f)
			text[at++] = (char)byte;
		else
			at += (size_t)snprintf(text + at, n - at, "%%%02X", byte);
	}
	text[at] = '\0';
	return at;
}

const char *
pst_title(const struct pst_field *params, size_t count, char *text, size_t n)
{
	const struct pst_field *target = pst_title_param(params, count, "REQUEST_URI");
	size_t at;

	text[0] = '\0';
	at = append_clean(text, 0, n, pst_title_param(params, count, "REQUEST_METHOD"));
	if (at == 0)
		at = (size_t)snprintf(text, n, "request");
	if (at + 8 < n) {
		text[at++] = ' ';
		text[at] = '\0';
	}
	if (target != NULL) {
		append_clean(text, at, n, target);
	} else {
		at = append_clean(text, at, n, pst_title_param(params, count, "SCRIPT_NAME"));
		append_clean(text, at, n, pst_title_param(params, count, "PATH_INFO"));
	}
	return text;
}
