/*
 * penstock import-gunicorn: a Python program, since what it reads is Python.
 */
#ifndef PST_GATEWAY_IMPORT_GUNICORN_H
#define PST_GATEWAY_IMPORT_GUNICORN_H

/*
 * Become that program, run by VIRTUAL_ENV's interpreter, or the configured one, or python3.
 * ARGV[0] is the command's name; the rest is for the program. Returns the exit status when that
 * fails.
 */
int pst_import_gunicorn(int argc, char **argv);

#endif
