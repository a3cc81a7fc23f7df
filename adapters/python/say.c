#include "adapters/python/say.h"

#include <stdarg.h>
#include <stdio.h>

void
pst_say(const struct pst_host *host, enum pst_log_level level, const char *format, ...)
{
	char line[4096];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (length < 0)
		return;
	if (length >= (int)sizeof line)
		length = sizeof line - 1;
	host->log(level, line, (size_t)length);
}
