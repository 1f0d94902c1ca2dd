# The targets of the course. CLIENTS is how many clients there are.
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

# The volume stays, and the bets with it; clients of a larger file that was written before go too.
docker-compose-down:
	$(COMPOSE) stop -t 1
	$(COMPOSE) down --remove-orphans

# From beside the server: nothing of the network is published to this machine.
test-server:
	docker run --rm --network tp0_testing_net \
	  --volume "$(CURDIR)/config/client.yaml:/config/client.yaml:ro" \
	  lottery:latest ping --config /config/client.yaml --count 1
