/*
 * The memory of a page (sealed.h): made by the arbiter, mapped by a worker and by gateways.
 */
#ifndef PST_PROTOCOL_PAGE_MAP_H
#define PST_PROTOCOL_PAGE_MAP_H

#include "protocol/page.h"

/* A new page with room for at least WORDS requests, at most 65535, in whole PST_PAGE_SIZE: its
 * descriptor, close-on-exec; -1 with errno. */
int pst_page_create(size_t words);

/*
 * Map the page behind FD, which stays open and is the caller's. 0; or -1 with errno, EINVAL when it
 * is no page of this version, not sealed, or over 1 MiB.
 */
int pst_page_map(struct pst_page *page, int fd);

/* Afterwards PAGE is no page. Without one, nothing happens. */
void pst_page_unmap(struct pst_page *page);

#endif
