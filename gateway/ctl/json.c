#include "gateway/ctl/json.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a section is called in JSON, and what its things are called by; NULL: there is one. */
static const struct {
	const char *section;
	const char *name;
	const char *key;
} sections[] = {
    {"instance", "instance", NULL},
    {"gateway", "gateways", "number"},
    {"listener", "listeners", "name"},
    {"pool", "pools", "name"},
    {"worker", "workers", "id"},
};

/* Numbers are facts that are nothing but digits, unless somebody else chose the text. */
static bool
is_number(const char *key, const char *value)
{
	static const char *const texts[] = {"title", "app", "request", "version", "pool", "url"};
	size_t length = strlen(value);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(key, texts[i]) == 0)
			return false;
	return length > 0 && length <= 15 && strspn(value, "0123456789") == length;
}

/* The object that a fact belongs into: "wait.max_us" is max_us in wait. *KEY becomes the rest. */
static cJSON *
descend(cJSON *object, const char **key)
{
	const char *dot = strchr(*key, '.');
	char name[64];
	cJSON *inner;

	if (!dot || (size_t)(dot - *key) >= sizeof(name))
		return object;
	snprintf(name, sizeof(name), "%.*s", (int)(dot - *key), *key);
	inner = cJSON_GetObjectItemCaseSensitive(object, name);
	if (!inner)
		inner = cJSON_AddObjectToObject(object, name);
	*key = dot + 1;
	return inner;
}

static bool
add_facts(cJSON *object, const struct pst_thing *thing)
{
	const struct pst_fact *fact;

	TAILQ_FOREACH (fact, &thing->facts, link) {
		const char *key = fact->key;
		cJSON *to = descend(object, &key), *added;

		if (is_number(key, fact->value))
			added = cJSON_AddNumberToObject(to, key, strtod(fact->value, NULL));
		else
			added = cJSON_AddStringToObject(to, key, fact->value);
		if (!added)
			return false;
	}
	return true;
}

/* The things of SECTION as an array, each with its name as KEY. */
static bool
add_array(cJSON *root, const char *name, const char *key, const char *section,
    const struct pst_report *report)
{
	cJSON *array = cJSON_AddArrayToObject(root, name), *object;
	const struct pst_thing *thing = NULL;

	while ((thing = pst_report_next(report, section, thing))) {
		object = cJSON_CreateObject();
		if (!cJSON_AddItemToArray(array, object) ||
		    !cJSON_AddStringToObject(object, key, thing->name) || !add_facts(object, thing))
			return false;
	}
	return array != NULL;
}

static bool
add_one(cJSON *root, const char *name, const struct pst_report *report)
{
	const struct pst_thing *thing = pst_report_next(report, name, NULL);
	cJSON *object = cJSON_AddObjectToObject(root, name);

	return object && (!thing || add_facts(object, thing));
}

static int
print(cJSON *root, bool made)
{
	char *text = made ? cJSON_Print(root) : NULL;
	int result = text ? 0 : -1;

	if (text)
		puts(text);
	cJSON_free(text);
	cJSON_Delete(root);
	return result;
}

int
pst_json_print_report(const struct pst_report *report)
{
	cJSON *root = cJSON_CreateObject();
	bool made = root != NULL;

	for (size_t i = 0; made && i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (sections[i].key)
			made = add_array(
			    root, sections[i].name, sections[i].key, sections[i].section, report);
		else
			made = add_one(root, sections[i].name, report);
	}
	return print(root, made);
}

int
pst_json_print_result(bool done, const char *text)
{
	cJSON *root = cJSON_CreateObject();
	bool made = root && cJSON_AddBoolToObject(root, "done", done) &&
		    cJSON_AddStringToObject(root, "text", text);

	return print(root, made);
}
