from infra.programs import run

run()
