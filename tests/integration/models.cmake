# Models: downloads against a misbehaving server, and the lines that ./run prints.
if(TARGET polderd AND PL_PYTHON3)
    if(PL_HAVE_CURL)
        server_integration(model_pull model_pull.py 240)
    endif()
    server_integration(run_lines run_lines.py 240)
    server_integration(demo_chat demo_chat.py 240)
endif()
