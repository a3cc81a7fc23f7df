#include "gateway/status_line.h"

#include <inttypes.h>
#include <stdio.h>

/* STATUS, the section, the name. */
#define HEAD 3

static void
flush(struct pst_status_line *line)
{
	if (line->count == HEAD)
		return;
	if (pst_control_append(line->out, line->words, line->count) < 0)
		line->failed = true;
	line->count = HEAD;
}

void
pst_status_begin(
    struct pst_status_line *line, struct pst_buf *out, const char *section, const char *name)
{
	line->out = out;
	line->failed = false;
	line->words[0] = "STATUS";
	line->words[1] = section;
	line->words[2] = name;
	line->count = HEAD;
}

void
pst_status_text(struct pst_status_line *line, const char *key, const char *value)
{
	if (line->count + 2 > PST_CONTROL_WORDS)
		flush(line);
	line->words[line->count++] = key;
	line->words[line->count++] = value;
}

void
pst_status_number(struct pst_status_line *line, const char *key, uint64_t value)
{
	char *text;

	if (line->count + 2 > PST_CONTROL_WORDS)
		flush(line);
	text = line->numbers[line->count];
	snprintf(text, sizeof(line->numbers[0]), "%" PRIu64, value);
	pst_status_text(line, key, text);
}

int
pst_status_end(struct pst_status_line *line)
{
	flush(line);
	return line->failed ? -1 : 0;
}
