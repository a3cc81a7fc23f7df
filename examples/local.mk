EXTRA_DIST += %D%/flask %D%/plugin
