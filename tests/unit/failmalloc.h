/*
 * malloc(), calloc() and realloc() of a test program, by the linker's --wrap: the nth allocation
 * fails. For programs linked with $(failmalloc_wrap) and failmalloc.c.
 */
#ifndef PST_TESTS_UNIT_FAILMALLOC_H
#define PST_TESTS_UNIT_FAILMALLOC_H

/* Allocations fail from the nth on (1: the next), once; 0: never. See failmalloc.c. */
extern unsigned long failmalloc_at;
/* Allocations made while it counted. */
extern unsigned long failmalloc_count;

#endif
