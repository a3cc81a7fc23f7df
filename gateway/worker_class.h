/*
 * The names that -k takes: Penstock's own, gunicorn's, and the class paths that people have in
 * their gunicorn commands.
 */
#ifndef PST_GATEWAY_WORKER_CLASS_H
#define PST_GATEWAY_WORKER_CLASS_H

#include "gateway/conf.h"

/* Which of our adapters a worker is. */
enum pst_model {
	PST_MODEL_SYNC,
	PST_MODEL_THREADED,
	PST_MODEL_ASYNC,
};
#define PST_MODELS 3

/* "sync": the adapter's file name, and what control lines call it. */
const char *pst_model_name(enum pst_model model);
/* 0, or -1 when NAME is none. */
int pst_model_find(const char *name, enum pst_model *model);

struct pst_worker_class {
	bool is_auto; /* nobody chose: the application's kind decides */
	enum pst_model model; /* under is_auto: what is tried first */
	const char *loop; /* that the class stands for; NULL for none */
};

/* 0, or -1 when there is no class NAME. */
int pst_worker_class_find(const char *name, struct pst_worker_class *found);

/* What the settings of a pool, or the top's, ask for: -k and --threads together. */
void pst_worker_class_of(const struct pst_conf *conf, struct pst_worker_class *found);

/* How the log calls workers of MODEL with the settings CONF: "threaded", "gevent". */
const char *pst_worker_class_label(const struct pst_conf *conf, enum pst_model model);

/* Option ID has a meaning for workers of MODEL. */
bool pst_model_has_option(enum pst_model model, enum pst_option_id id);

/* How many requests at a time a worker of MODEL takes with the settings CONF. */
unsigned long pst_model_capacity(enum pst_model model, const struct pst_conf *conf);

/* How many it may know of, with those that are sent ahead, whatever worker CONF may come to have:
 * so many words its page needs. */
unsigned long pst_worker_class_words(const struct pst_conf *conf);

#endif
