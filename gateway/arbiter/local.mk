# The arbiter without its main(), so that unit tests can link it.
noinst_LTLIBRARIES += %D%/libpst-arbiter.la
%C%_libpst_arbiter_la_SOURCES =
