"""What a submission may build on: samples, clients, logs and metrics. Complete; nothing here needs to be changed."""
