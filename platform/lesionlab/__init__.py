"""Training platform for the question: how many labelled MS studies, and does transfer help?"""
