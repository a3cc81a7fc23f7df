/* Control lines: whole and byte by byte the same; what was taken apart is put together again. */
#include "protocol/control.h"
#include "protocol/error.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A line that was taken, encoded and taken again has the same words. */
static void
check_again(const struct pst_control *line)
{
	struct pst_buf encoded = {0};
	struct pst_control again;
	int err = pst_control_append(&encoded, (const char *const *)line->words, line->count);

	assert(err == 0);
	assert(pst_control_take(&encoded, &again) == 1 && again.count == line->count);
	for (unsigned i = 0; i < line->count; i++)
		assert(strcmp(again.words[i], line->words[i]) == 0);
	pst_buf_free(&encoded);
}

/* Take all lines there are; what each gave is appended to LOG. Nonzero: the channel is closed. */
static int
take_all(struct pst_buf *in, struct pst_buf *log)
{
	struct pst_control line;
	int result;

	while ((result = pst_control_take(in, &line)) != 0) {
		if (result == PST_ERR_LIMIT)
			return result;
		if (result == PST_ERR_PROTOCOL) {
			assert(pst_buf_append(log, "?\n", 2) == 0);
			continue;
		}
		assert(result == 1 && line.count > 0 && line.count <= PST_CONTROL_WORDS);
		assert(pst_control_is(&line, ""));
		for (unsigned i = 0; i < line.count; i++)
			assert(pst_buf_append(log, line.words[i], strlen(line.words[i]) + 1) == 0);
		check_again(&line);
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pst_buf in = {0}, whole = {0}, cut = {0};
	int err, cut_err = 0;

	assert(pst_buf_append(&in, data, size) == 0);
	err = take_all(&in, &whole);
	pst_buf_free(&in);
	for (size_t i = 0; cut_err == 0 && i < size; i++) {
		assert(pst_buf_append(&in, data + i, 1) == 0);
		cut_err = take_all(&in, &cut);
	}
	assert(err == cut_err && pst_buf_length(&whole) == pst_buf_length(&cut));
	if (pst_buf_length(&whole) > 0)
		assert(
		    memcmp(pst_buf_bytes(&whole), pst_buf_bytes(&cut), pst_buf_length(&cut)) == 0);
	pst_buf_free(&in);
	pst_buf_free(&whole);
	pst_buf_free(&cut);
	return 0;
}
