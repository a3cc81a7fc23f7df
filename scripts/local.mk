EXTRA_DIST += %D%/check %D%/deps %D%/lint %D%/quickstart %D%/venv

# For scripts/lint: config.h, what the command line defines, and the list macros, which cppcheck
# does not look for.
lint.h: Makefile config.h
	$(AM_V_GEN){ echo '#include "$(abs_builddir)/config.h"' && \
		$(CC) $(DEFS) $(AM_CPPFLAGS) -I. -E -dM -x c \
			/dev/null | sed -n '/define PST_[A-Z]*DIR /p' && \
		echo '#include <sys/queue.h>' | $(CC) -M -x c - | tr ' ' '\n' | \
			sed -n 's|.*sys/queue\.h$$|#include "&"|p'; } > $@
