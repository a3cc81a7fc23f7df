/* Base64 (RFC 4648, section 4), for the user's name in Authorization and the keys of
 * WebSockets. */
#ifndef PST_GATEWAY_FRONT_BASE64_H
#define PST_GATEWAY_FRONT_BASE64_H

#include <stddef.h>

/*
 * Decode N characters into TO, SIZE bytes at most: the bytes written. What follows a padding, a
 * character that is not of the alphabet or the end of TO is passed over.
 */
size_t pst_base64_decode(char *to, size_t size, const char *text, size_t n);

/* The characters that N bytes become, padding included. */
#define PST_BASE64_LENGTH(n) (((n) + 2) / 3 * 4)

/* Encode N bytes into TO, PST_BASE64_LENGTH(n) characters: no NUL follows. */
void pst_base64_encode(char *to, const void *bytes, size_t n);

#endif
