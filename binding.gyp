# CMakeLists.txt is the only description of the native build. This file lets node-gyp
# (npm's default for a package with a binding.gyp, node-gyp-build's fallback) run it.
{
  "targets": [{
    "target_name": "branchmerge",
    "type": "none",
    "actions": [{
      "action_name": "cmake_js",
      "message": "CMakeLists.txt -> build/<(CONFIGURATION_NAME)/branchmerge.node",
      "inputs": [],
      # The second output is never made, so that gyp asks CMake each time what is stale.
      "outputs": ["<(PRODUCT_DIR)/branchmerge.node", "<(PRODUCT_DIR)/.cmake-decides"],
      "action": [
        "node", "<!(node -p \"require.resolve('cmake-js/bin/cmake-js')\")", "build",
        "--directory", "<(module_root_dir)",
        "--out", "<(module_root_dir)/build/cmake",
        "--config", "<(CONFIGURATION_NAME)",
      ],
    }],
  }],
}
