/*
 * Words of PENSTOCK_CMD_ARGS, parted as a shell parts them: blanks, '...', "..." and backslash;
 * no variables, no patterns.
 */
#ifndef PST_GATEWAY_CONF_WORDS_H
#define PST_GATEWAY_CONF_WORDS_H

struct pst_words {
	int count;
	char **word; /* NULL-terminated, good for getopt; they belong to the struct */
	char *text;
};

/*
 * Split TEXT; word 0 is PROGRAM. 0, or -1 with *WHY a constant phrase (a quote that is not
 * closed, no memory) and nothing to free.
 */
int pst_words_split(
    struct pst_words *words, const char *program, const char *text, const char **why);
void pst_words_free(struct pst_words *words);

#endif
