# make bench-smoke: instructions for a request on the hot paths of what is installed, compared with
# the committed figures. BENCH_SMOKE=--write sets them anew.
BENCH_SMOKE =
bench-smoke:
	@test -n "$(PYTHON)" || { \
		echo "make bench-smoke: it needs Python: configure with --with-python" >&2; exit 1; }
	$(AM_V_at)cd $(top_srcdir) && PYTHONDONTWRITEBYTECODE=1 "$(PYTHON)" tests/bench/smoke.py \
		--penstock "$(DESTDIR)$(bindir)/penstock" --python "$(PYTHON)" $(BENCH_SMOKE)
PHONY_TARGETS += bench-smoke
