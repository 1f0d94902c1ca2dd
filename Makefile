# The course's targets. CLIENTS is the number of clients.
CLIENTS ?= 5
COMPOSE = docker compose -f docker-compose-dev.yaml

.PHONY: docker-image docker-compose-up docker-compose-logs docker-compose-down test-server

docker-image:
	docker build -t lottery:latest .

docker-compose-up: docker-image
	npx lottery compose --clients $(CLIENTS)
	$(COMPOSE) up -d

docker-compose-logs:
	$(COMPOSE) logs -f

# Keeps the volume with the bets. Also removes clients of an earlier, larger Compose file.
docker-compose-down:
	$(COMPOSE) stop -t 1
	$(COMPOSE) down --remove-orphans

# Runs in the server's network, because no port is published on this machine.
test-server:
	docker run --rm --network tp0_testing_net \
	  --volume "$(CURDIR)/config/client.yaml:/config/client.yaml:ro" \
	  lottery:latest ping --config /config/client.yaml --count 1
