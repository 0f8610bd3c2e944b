// SPDX-License-Identifier: Apache-2.0
// consumer MODEL: the likeliest token after token 1.
#include <rwkv/rwkv.h>

#include <algorithm>
#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  const rwkv::Model model(argv[1], "cpu fp32");
  rwkv::State state = model.new_state();
  std::vector<float> logits(model.config().n_vocab);
  const rwkv::Token token = 1;
  model.forward({&token, 1}, state, logits);
  std::cout << std::max_element(logits.begin(), logits.end()) - logits.begin() << "\n";
} catch (const rwkv::Error& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
