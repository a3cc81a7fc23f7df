#include "adapters/offer.h"

#include <string.h>

/* What PAIR says to the adapter: the ticket, or that the request can be upgraded. False: it is one
 * of the request's. */
static bool
take(struct pst_offer *offer, struct pst_request *request, const struct pst_pair *pair)
{
	if (!pst_request_is_ours(pair))
		return false;
	if (pair->name_len != strlen(PST_PAGE_PARAM) ||
	    memcmp(pair->name, PST_PAGE_PARAM, pair->name_len) != 0)
		return pst_request_take_upgrade(request, pair);
	offer->ticketed = true;
	offer->ticket = pst_page_parse_ticket(pst_pair_value(pair), pair->value_len);
	return true;
}

int
pst_offer_params(struct pst_offer *offer, struct pst_request *request, const struct pst_pair *pairs,
    size_t count)
{
	size_t ours = 0;

	while (!offer->begun && ours < count && take(offer, request, &pairs[ours]))
		ours++;
	offer->begun = offer->begun || ours < count;
	return pst_request_on_params(request, pairs + ours, count - ours);
}

bool
pst_offer_claim(const struct pst_offer *offer, struct pst_page *page, uint16_t id)
{
	return !offer->ticketed || (page && pst_page_claim(page, id, offer->ticket));
}

void
pst_offer_done(const struct pst_offer *offer, struct pst_page *page, uint16_t id)
{
	if (offer->ticketed)
		pst_page_done(page, id, offer->ticket);
}
