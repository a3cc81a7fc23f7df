EXTRA_DIST += %D%/flask %D%/nginx %D%/plugin %D%/pools %D%/systemd
