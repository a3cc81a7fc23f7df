/*
 * What the files of a request share: request.c (the request and its body), request_answer.c (the
 * response) and request_file.c (files in it).
 */
#ifndef PST_ADAPTERS_REQUEST_INTERNAL_H
#define PST_ADAPTERS_REQUEST_INTERNAL_H

#include "adapters/request.h"

/* RESULT of the carrier, with its reason. */
int pst_request_carried(struct pst_request *request, int result);

/* Hand on what has gathered. */
int pst_request_pass(struct pst_request *request);

/* Close the file that was to take the place of the body, if there is one. */
void pst_request_drop_file(struct pst_request *request);

/* The head of a response whose body is the file that FIELD, of the COUNT FIELDS, names. */
int pst_request_respond_with_file(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count, const struct pst_field *field);

/* Send that file, once the application has returned. May block. */
int pst_request_send_replacement(struct pst_request *request);

#endif
