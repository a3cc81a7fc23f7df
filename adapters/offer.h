/*
 * A request as a gateway of ours offers it to the worker: it may be withdrawn until it is claimed
 * through the page (protocol/page.h), and carries its ticket among its params. What comes from any
 * other client has no ticket, and may always begin.
 */
#ifndef PST_ADAPTERS_OFFER_H
#define PST_ADAPTERS_OFFER_H

#include "adapters/request.h"
#include "protocol/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_offer {
	bool begun; /* parameters of the request have come: what is meant for us comes before */
	bool ticketed; /* it may begin only if it can be claimed */
	pst_page_ticket ticket; /* 0: no valid one */
};

/* COUNT params that a gateway of ours sent for REQUEST: what is meant for the adapter is taken out,
 * the rest is handed to the request. Nonzero (an enum pst_error) when it is too much. */
int pst_offer_params(struct pst_offer *offer, struct pst_request *request,
    const struct pst_pair *pairs, size_t count);

/* Before the application gets request ID. False: the gateway has withdrawn it, or is gone and
 * another has come. PAGE may be NULL: there is none. */
bool pst_offer_claim(const struct pst_offer *offer, struct pst_page *page, uint16_t id);
/* The application has returned, from one that was claimed. */
void pst_offer_done(const struct pst_offer *offer, struct pst_page *page, uint16_t id);

#endif
