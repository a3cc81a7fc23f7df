/* From a member that a list or a callback gave back to the struct that holds it. */
#ifndef PST_FRONT_CONTAINER_H
#define PST_FRONT_CONTAINER_H

#include <stddef.h>

#define PST_CONTAINER(member_ptr, type, member)                                                    \
	((type *)(void *)((char *)(member_ptr)-offsetof(type, member)))

#endif
