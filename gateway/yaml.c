#include "gateway/yaml.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define TEXT(token)    #token
#define TEXT_OF(macro) TEXT(macro)

struct level {
	struct pst_yaml_node *node; /* a list or a map that is not closed yet */
	struct pst_yaml_node **end; /* where its next child goes */
	struct pst_yaml_node *key; /* of a map: waits for its value */
};

struct tree {
	struct pst_yaml_node *root;
	struct level levels[PST_YAML_DEPTH];
	size_t depth;
	size_t count;
	struct pst_yaml_problem *problem;
	const unsigned char *bytes;
	size_t length;
};

/* ---- problems ---- */

static int
fail(struct tree *tree, const yaml_mark_t *mark, const char *why)
{
	tree->problem->line = (unsigned)mark->line + 1;
	tree->problem->column = (unsigned)mark->column + 1;
	snprintf(tree->problem->why, sizeof(tree->problem->why), "%s", why);
	return -1;
}

/* The byte at MARK, whose column counts characters; 0 behind the end. */
static unsigned char
byte_at(const struct tree *tree, const yaml_mark_t *mark)
{
	const unsigned char *at = tree->bytes, *end = tree->bytes + tree->length;

	for (size_t line = 0; line < mark->line && at < end; line++) {
		const unsigned char *lf = memchr(at, '\n', (size_t)(end - at));

		at = lf ? lf + 1 : end;
	}
	for (size_t column = 0; column < mark->column && at < end; column++) {
		at++;
		while (at < end && (*at & 0xc0) == 0x80)
			at++;
	}
	return at < end ? *at : 0;
}

/* What is no UTF-8, or a character that YAML does not take, at a byte's OFFSET. */
static int
fail_at_byte(struct tree *tree, size_t offset, const char *what)
{
	yaml_mark_t mark = {0};
	char why[sizeof(tree->problem->why)];

	for (size_t i = 0; i < offset && i < tree->length; i++) {
		if (tree->bytes[i] == '\n') {
			mark.line++;
			mark.column = 0;
		} else if ((tree->bytes[i] & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	snprintf(why, sizeof(why), "%s: the file wants to be text in UTF-8", what);
	return fail(tree, &mark, why);
}

/* What libyaml does not like, in its words unless there are clearer ones. */
static int
fail_as_parser(struct tree *tree, const yaml_parser_t *parser)
{
	char why[sizeof(tree->problem->why)];
	const char *problem = parser->problem ? parser->problem : "it cannot be read";
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR)
		return fail(tree, &mark, "out of memory");
	if (parser->error == YAML_READER_ERROR)
		return fail_at_byte(tree, parser->problem_offset, problem);
	if (parser->error == YAML_SCANNER_ERROR && byte_at(tree, &mark) == '\t')
		problem = "a tab stands where YAML wants blanks";
	else if (parser->context && strstr(parser->context, "an alias"))
		problem = "a text that begins with * wants quotes around it";
	else if (parser->context && strstr(parser->context, "an anchor"))
		problem = "a text that begins with & wants quotes around it";
	if (parser->context && parser->context_mark.line != mark.line)
		snprintf(why, sizeof(why), "%s (%s from line %zu on)", problem, parser->context,
		    parser->context_mark.line + 1);
	else
		snprintf(why, sizeof(why), "%s", problem);
	return fail(tree, &mark, why);
}

/* ---- the tree ---- */

static struct pst_yaml_node *
make(struct tree *tree, enum pst_yaml_kind kind, const yaml_mark_t *mark)
{
	struct pst_yaml_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->kind = kind;
	node->line = (unsigned)mark->line + 1;
	node->column = (unsigned)mark->column + 1;
	tree->count++;
	return node;
}

/* Hang NODE, which is freed if that fails, where the innermost open list or map wants it. */
static int
attach(struct tree *tree, struct pst_yaml_node *node, const yaml_mark_t *mark)
{
	struct level *level = tree->depth ? &tree->levels[tree->depth - 1] : NULL;

	if (!level) {
		tree->root = node;
		return 0;
	}
	if (level->key) {
		level->key->value = node;
		level->key = NULL;
		return 0;
	}
	if (level->node->kind == PST_YAML_MAP) {
		if (node->kind != PST_YAML_SCALAR) {
			pst_yaml_free(node);
			return fail(tree, mark, "a key is a word, not a list or a mapping");
		}
		level->key = node;
	}
	*level->end = node;
	level->end = &node->next;
	return 0;
}

static int
add_scalar(struct tree *tree, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	struct pst_yaml_node *node;

	if (memchr(text, '\0', event->data.scalar.length))
		return fail(tree, &event->start_mark, "a text cannot hold a NUL character");
	node = make(tree, PST_YAML_SCALAR, &event->start_mark);
	if (!node || !(node->text = strdup(text))) {
		pst_yaml_free(node);
		return fail(tree, &event->start_mark, "out of memory");
	}
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return attach(tree, node, &event->start_mark);
}

static int
open_level(struct tree *tree, const yaml_event_t *event, enum pst_yaml_kind kind)
{
	struct pst_yaml_node *node;

	if (tree->depth == PST_YAML_DEPTH)
		return fail(tree, &event->start_mark, "lists and mappings are nested too deeply");
	node = make(tree, kind, &event->start_mark);
	if (!node)
		return fail(tree, &event->start_mark, "out of memory");
	if (attach(tree, node, &event->start_mark) < 0)
		return -1;
	tree->levels[tree->depth++] = (struct level){.node = node, .end = &node->first};
	return 0;
}

static int
refuse(
    struct tree *tree, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return fail(tree, &event->start_mark,
		    "anchors (&name) are not taken: what pools share stands at the top");
	if (tag)
		return fail(tree, &event->start_mark, "tags (!name) are not taken");
	if (tree->count == PST_YAML_NODES)
		return fail(tree, &event->start_mark,
		    "there are too many keys and values: " TEXT_OF(
			PST_YAML_NODES) " are the most, of which a route with host, path and pool "
					"takes 7");
	return 0;
}

static int
take(struct tree *tree, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return tree->count
			   ? fail(tree, &event->start_mark, "a second document begins; one is read")
			   : 0;
	case YAML_ALIAS_EVENT:
		return fail(tree, &event->start_mark,
		    "aliases (*name) are not taken: a text with * in front wants quotes, what "
		    "pools share stands at the top");
	case YAML_SCALAR_EVENT:
		if (refuse(tree, event, event->data.scalar.anchor, event->data.scalar.tag) < 0)
			return -1;
		return add_scalar(tree, event);
	case YAML_SEQUENCE_START_EVENT:
		if (refuse(tree, event, event->data.sequence_start.anchor,
			event->data.sequence_start.tag) < 0)
			return -1;
		return open_level(tree, event, PST_YAML_LIST);
	case YAML_MAPPING_START_EVENT:
		if (refuse(tree, event, event->data.mapping_start.anchor,
			event->data.mapping_start.tag) < 0)
			return -1;
		return open_level(tree, event, PST_YAML_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		assert(tree->depth > 0);
		tree->depth--;
		return 0;
	default: return 0;
	}
}

static int
read_events(struct tree *tree, yaml_parser_t *parser)
{
	for (;;) {
		yaml_event_t event;
		bool at_end;
		int result;

		if (!yaml_parser_parse(parser, &event))
			return fail_as_parser(tree, parser);
		at_end = event.type == YAML_STREAM_END_EVENT;
		result = take(tree, &event);
		yaml_event_delete(&event);
		if (result < 0 || at_end)
			return result;
	}
}

/* ---- what the header lists ---- */

int
pst_yaml_read(const unsigned char *bytes, size_t length, struct pst_yaml_node **root,
    struct pst_yaml_problem *problem)
{
	struct tree tree = {.problem = problem, .bytes = bytes, .length = length};
	yaml_parser_t parser;
	int result;

	memset(problem, 0, sizeof(*problem));
	*root = NULL;
	if (length > PST_YAML_SIZE) {
		snprintf(problem->why, sizeof(problem->why), "it is larger than 1 MiB");
		return -1;
	}
	if (!yaml_parser_initialize(&parser)) {
		snprintf(problem->why, sizeof(problem->why), "out of memory");
		return -1;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, bytes, length);
	result = read_events(&tree, &parser);
	yaml_parser_delete(&parser);
	if (result == 0)
		*root = tree.root;
	else
		pst_yaml_free(tree.root);
	return result;
}

/* The depth is bounded, so this may call itself. */
void
pst_yaml_free(struct pst_yaml_node *root)
{
	struct pst_yaml_node *child, *next;

	if (!root)
		return;
	for (child = root->first; child; child = next) {
		next = child->next;
		pst_yaml_free(child);
	}
	pst_yaml_free(root->value);
	free(root->text);
	free(root);
}

const struct pst_yaml_node *
pst_yaml_earlier(const struct pst_yaml_node *map, const struct pst_yaml_node *key)
{
	for (const struct pst_yaml_node *other = map->first; other != key; other = other->next)
		if (strcmp(other->text, key->text) == 0)
			return other;
	return NULL;
}

bool
pst_yaml_is_null(const struct pst_yaml_node *node)
{
	return node->kind == PST_YAML_SCALAR && node->plain &&
	       (!*node->text || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}
