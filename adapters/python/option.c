#include "adapters/python/option.h"

#include <string.h>

const char *
pst_option_value(const struct pst_app_config *config, const char *name, unsigned index)
{
	for (size_t i = 0; i < config->option_count; i++) {
		const struct pst_option *option = &config->options[i];

		if (strcmp(option->name, name) == 0 && option->value != NULL &&
		    option->value[0] != '\0' && index-- == 0)
			return option->value;
	}
	return NULL;
}

bool
pst_option_multiprocess(const struct pst_app_config *config)
{
	const char *workers = pst_option_value(config, "workers", 0);

	return workers == NULL || strcmp(workers, "1") != 0;
}
