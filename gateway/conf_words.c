#include "gateway/conf_words.h"

#include <stdlib.h>
#include <string.h>

static int
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Copy what stands in quotes at **IN to **OUT; 0 when the quote is not closed. */
static int
unquote(const char **in, char **out)
{
	char quote = *(*in)++;

	while (**in && **in != quote) {
		if (quote == '"' && **in == '\\' && ((*in)[1] == '"' || (*in)[1] == '\\'))
			(*in)++;
		*(*out)++ = *(*in)++;
	}
	return *(*in)++ == quote;
}

/* Copy one word; 0 when a quote is not closed or a backslash stands at the end. */
static int
take_word(const char **in, char **out)
{
	while (**in && !is_blank(**in)) {
		if (**in == '\'' || **in == '"') {
			if (!unquote(in, out))
				return 0;
			continue;
		}
		if (**in == '\\' && !*++*in)
			return 0;
		*(*out)++ = *(*in)++;
	}
	*(*out)++ = '\0';
	return 1;
}

int
pst_words_split(struct pst_words *words, const char *program, const char *text, const char **why)
{
	size_t length = strlen(text);
	char *out;

	/* A word takes its length and a NUL, and all but the last are followed by a blank. */
	words->count = 0;
	words->text = malloc(strlen(program) + length + 2);
	words->word = calloc(length / 2 + 3, sizeof(char *));
	if (!words->text || !words->word) {
		*why = "out of memory";
		pst_words_free(words);
		return -1;
	}
	out = words->text;
	words->word[words->count++] = out;
	out = stpcpy(out, program) + 1;
	for (;;) {
		while (is_blank(*text))
			text++;
		if (!*text)
			return 0;
		words->word[words->count++] = out;
		if (!take_word(&text, &out)) {
			*why = "a quote is not closed, or a backslash stands at the end";
			pst_words_free(words);
			return -1;
		}
	}
}

void
pst_words_free(struct pst_words *words)
{
	free(words->word);
	free(words->text);
	memset(words, 0, sizeof(*words));
}
