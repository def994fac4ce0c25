-- An installation made by: python3 -m venv /opt/mapsort/0.1.0 && /opt/mapsort/0.1.0/bin/pip install mapsort[dask]
help([[3D classification and heterogeneous refinement of single-particle cryo-EM images.]])
whatis("Name: mapsort")
whatis("Version: 0.1.0")

local root = "/opt/mapsort/0.1.0"
-- Only the commands: the Python of the environment must not hide another.
set_alias("mapsort", pathJoin(root, "bin/mapsort"))
set_alias("e2refinemulti", pathJoin(root, "bin/e2refinemulti"))
set_alias("e2refine", pathJoin(root, "bin/e2refine"))
