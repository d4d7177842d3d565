"""Who is asking."""


def signed_in(function):
    def check(request, **more):
        return function(request, **more) if request.user else request.sign_in()

    return check
