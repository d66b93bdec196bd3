"""Settings with which nbgrader (0.9) takes this folder as it is: `nbgrader generate_assignment 1_rust_for_data` and so on.

The kernel `wider-clip` has to be known to Jupyter: `wider-clip course nbgrader -- <arguments>` starts nbgrader so.
"""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "wider-clip"
# What stands in place of a solution, in the words of each language that a cell may be in.
c.ClearSolutions.code_stub = {"rust": "// YOUR CODE HERE\ntodo!()"}
c.ClearSolutions.text_stub = "*Your text here.*"
c.ClearSolutions.begin_solution_delimeter = "BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "END SOLUTION"
c.ClearHiddenTests.begin_test_delimeter = "BEGIN HIDDEN TESTS"
c.ClearHiddenTests.end_test_delimeter = "END HIDDEN TESTS"
# A cell is compiled before it runs, and the first one loads the library.
c.Execute.timeout = 120
c.Execute.startup_timeout = 600
# A cell that prints much is done long before all of it is read; nbgrader would give the submission up after 4 s.
c.Execute.iopub_timeout = 60
c.Execute.interrupt_on_timeout = True
c.Execute.error_on_timeout = {"ename": "Timeout", "evalue": "the cell took too long", "traceback": ["the cell took too long"]}
