EXTRA_DIST += %D%/flask
