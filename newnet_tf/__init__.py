"""newnet_tf"""
