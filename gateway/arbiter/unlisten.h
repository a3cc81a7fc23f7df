/* The end of a listener, without losing who has connected to it. */
#ifndef PST_ARBITER_UNLISTEN_H
#define PST_ARBITER_UNLISTEN_H

/*
 * Nobody can begin to connect to the TCP socket FD any more, in whichever process it is open: SYNs
 * are dropped, and their senders refused once it is closed. Handshakes that have begun are
 * finished, and who has connected is there to be accepted. Other sockets are left alone. What fails
 * is logged at debug: then those who connect in the last moment are reset.
 */
void pst_unlisten(int fd);

#endif
