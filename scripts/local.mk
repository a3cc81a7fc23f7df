EXTRA_DIST += %D%/venv
