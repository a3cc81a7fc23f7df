#include "gateway/sentences.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a file says is quoted in sentences. */
static void
stay_on_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void
pst_sentences_add(struct pst_sentences *sentences, const char *format, va_list args)
{
	char **list, *text;

	if (sentences->count == PST_SENTENCES_MAX) {
		sentences->is_cut = true;
		return;
	}
	list = realloc(sentences->list, (sentences->count + 1) * sizeof(*list));
	text = malloc(PST_SENTENCES_LENGTH);
	if (list)
		sentences->list = list;
	if (!list || !text) {
		free(text);
		sentences->is_cut = true;
		return;
	}
	vsnprintf(text, PST_SENTENCES_LENGTH, format, args);
	stay_on_one_line(text);
	sentences->list[sentences->count++] = text;
}

void
pst_sentences_free(struct pst_sentences *sentences)
{
	for (size_t i = 0; i < sentences->count; i++)
		free(sentences->list[i]);
	free(sentences->list);
	memset(sentences, 0, sizeof(*sentences));
}

size_t
pst_sentences_count(const struct pst_sentences *sentences)
{
	return sentences->count + (sentences->is_cut ? 1 : 0);
}

const char *
pst_sentences_text(const struct pst_sentences *sentences, size_t i)
{
	if (i < sentences->count)
		return sentences->list[i];
	assert(i == sentences->count && sentences->is_cut);
	return "and there is more that is not told here";
}
