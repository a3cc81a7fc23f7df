EXTRA_DIST += %D%/fastapi %D%/flask %D%/nginx %D%/plugin %D%/pools %D%/systemd
