"""The native kernel: a step of the recurrent models in C, where one was built."""
