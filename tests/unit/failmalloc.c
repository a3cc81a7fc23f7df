/* malloc() and calloc() of a test program, by the linker's --wrap: the nth allocation fails. */
#include "tests/unit/trace.h"

#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);

unsigned long failmalloc_at;
unsigned long failmalloc_count;

static bool
fails(void)
{
	return ++failmalloc_count == failmalloc_at;
}

void *
__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}
