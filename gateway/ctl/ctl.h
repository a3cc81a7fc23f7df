/*
 * "penstock ctl": asks a running penstock over its control socket, and shows what it answers.
 */
#ifndef PST_CTL_CTL_H
#define PST_CTL_CTL_H

/* The exit status of "penstock ctl". */
enum pst_ctl_exit {
	PST_CTL_DONE = 0,
	PST_CTL_FAILED = 1, /* refused, failed, or nobody to ask */
	PST_CTL_USAGE = 2,
};

/* ARGV begins with "ctl". */
enum pst_ctl_exit pst_ctl_main(int argc, char **argv);

#endif
