# polderd with a real model, by real clients. Each script exits 77 where the reference data is absent.
find_program(PL_PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)

function(server_integration name script timeout)
    add_test(NAME integ.${name}
        COMMAND "${PL_PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/integration/${script}")
    set_tests_properties(integ.${name} PROPERTIES
        LABELS integ TIMEOUT ${timeout} SKIP_RETURN_CODE 77 PROCESSORS 2
        ENVIRONMENT "POLDERD=$<TARGET_FILE:polderd>;PL_BACKEND_DIR=${PL_BACKEND_BUILD_DIR};PL_SHARED=${PL_SHARED};PL_DEMO_MODEL=${PL_DEMO_MODEL};SDK_DIR=${CMAKE_BINARY_DIR}/sdk;PYTHONDONTWRITEBYTECODE=1;PL_SANITIZE=${PL_SANITIZE}")
endfunction()

if(TARGET polderd AND PL_PYTHON3)
    server_integration(server_api server_api.py 300)
    server_integration(server_sampling server_sampling.py 300)
    server_integration(server_share server_share.py 300)
    server_integration(server_life server_life.py 300)
    server_integration(churn churn.py 300)
    server_integration(kv_kill kv_kill.py 300)
    server_integration(server_sdk server_sdk.py 300)
endif()
