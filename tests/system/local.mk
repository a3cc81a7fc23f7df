# make installcheck drives the installed tree with pytest, in a virtualenv of the interpreter that
# configure found. VENV=DIR uses (or makes) another environment, SYSTEM_TESTS names fewer tests,
# PYTEST_FLAGS adds options. SYSTEM_JOBS=N runs so many tests side by side: they wait more than they
# work. With 1 there is one process, which -s and --pdb need. REQUIREMENTS=requirements-debian.txt
# and VENV_FLAG=--system-site-packages are for Debian's interpreter with the packages that it has.
VENV = $(abs_builddir)/venv
VENV_FLAG =
REQUIREMENTS = requirements.txt
SYSTEM_TESTS = tests/system
PYTEST_FLAGS =
SYSTEM_JOBS = 1

# The same for unit tests and system tests. A program that drops its privileges writes its report,
# too; installcheck fails when there is one, whoever wrote it.
sanitizer_reports = $(abs_builddir)/sanitizer
suppressions = $(abs_top_srcdir)/tests/suppressions
sanitizer_environment = \
	LSAN_OPTIONS=suppressions=$(suppressions)/lsan.txt:print_suppressions=0 \
	TSAN_OPTIONS=suppressions=$(suppressions)/tsan.txt \
	UBSAN_OPTIONS=print_stacktrace=1

# A case of a unit test may take so long; check's own limit of 4 s is short on a busy machine.
AM_TESTS_ENVIRONMENT = export CK_DEFAULT_TIMEOUT=120 $(sanitizer_environment);

installcheck-local: $(peer_programs)
	@test -n "$(PYTHON)" || { \
		echo "make installcheck: the system tests need Python: configure with --with-python" >&2; \
		exit 1; }
	$(AM_V_at)VENV_FLAG="$(VENV_FLAG)" $(SHELL) $(top_srcdir)/scripts/venv "$(PYTHON)" \
		"$(VENV)" $(top_srcdir)/tests/system/$(REQUIREMENTS)
	$(AM_V_at)cd $(top_srcdir) && env -u MAKEFLAGS -u MFLAGS -u DESTDIR \
		PENSTOCK_BINDIR="$(DESTDIR)$(bindir)" \
		PENSTOCK_LIBEXECDIR="$(DESTDIR)$(pkglibexecdir)" \
		PENSTOCK_PLUGINDIR="$(DESTDIR)$(plugindir)" \
		PENSTOCK_PKGCONFIGDIR="$(DESTDIR)$(pkgconfigdir)" \
		PENSTOCK_PEERDIR="$(abs_builddir)/tests/peer" \
		CC="$(CC)" PYTHONDONTWRITEBYTECODE=1 $(sanitizer_environment) \
		ASAN_OPTIONS=log_path=$(sanitizer_reports)/report \
		$(SHELL) tests/system/run "$(sanitizer_reports)" "$(SYSTEM_JOBS)" \
		"$(VENV)/bin/python" $(PYTEST_FLAGS) $(SYSTEM_TESTS)

clean-local: clean-system-tests
clean-system-tests:
	rm -rf $(abs_builddir)/venv "$(sanitizer_reports)" "$(sanitizer_reports).failed"
PHONY_TARGETS += clean-system-tests

EXTRA_DIST += tests/system tests/differential tests/plugins tests/bench tests/load \
	tests/suppressions
