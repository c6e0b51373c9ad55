"""Checks SAM's translation of the template of infra/gradual. Needs the Python that has aws-sam-cli; .ci/run runs it.

CloudFormation itself is not called: this checks its input.
"""

import graphlib
import logging
import os
import pathlib
import subprocess
import sys

from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse

# No call to AWS is made.
os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none", AWS_EC2_METADATA_DISABLED="true")

logging.disable(logging.CRITICAL)


class NoPolicies:
    """Stands in for a look-up of AWS's managed policies, whose ARNs are written out in the template."""

    def load(self):
        return {"AWSCodeDeployRoleForLambda": "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"}


def translated(source, **parameters):
    template = yaml_parse(source)
    values = {name: about["Default"] for name, about in template["Parameters"].items() if "Default" in about}
    values |= {"AWS::Region": "eu-central-1", "AWS::Partition": "aws"} | parameters
    validator = SamTemplateValidator(template, NoPolicies(), region="eu-central-1", parameter_overrides=values)
    return yaml_parse(validator.get_translated_template_if_valid())["Resources"]


def of_type(resources, kind):
    return {name: one for name, one in resources.items() if one["Type"] == kind}


def names_in(value):
    """Yields every resource that a value refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0]
            elif key == "Fn::Sub":
                text = inner if isinstance(inner, str) else inner[0]
                yield from (part.split("}")[0].split(".")[0] for part in text.split("${")[1:])
                yield from () if isinstance(inner, str) else names_in(inner[1])
            else:
                yield from names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


def in_order(resources):
    """Fails if resources depend on each other in a circle. Both branches of a condition count."""
    graph = {}
    for name, one in resources.items():
        waits_for = one.get("DependsOn", [])
        waits_for = {waits_for} if isinstance(waits_for, str) else set(waits_for)
        graph[name] = waits_for | (set(names_in(one)) & resources.keys()) - {name}
    return list(graphlib.TopologicalSorter(graph).static_order())


def watcher(function):
    if function.removesuffix("Function") in ("Webhook", "Api", "Management", "SignupCallback"):
        return "DoorFails"
    return "ClockFails" if function.removesuffix("Function") in ("Sweep", "TokenRefresh", "Offboarding") else "QueuesFail"


def main():
    in_order(translated(pathlib.Path("template.yaml").read_text()))
    gradual = subprocess.run(["infra/gradual/template"], check=True, capture_output=True, text=True).stdout
    first = translated(gradual, Deployment="1795000000", GraphVersion="v25.0")
    in_order(first)
    functions = of_type(first, "AWS::Lambda::Function")
    aliases = of_type(first, "AWS::Lambda::Alias")
    versions = of_type(first, "AWS::Lambda::Version")
    groups = of_type(first, "AWS::CodeDeploy::DeploymentGroup")
    assert len(functions) == len(aliases) == len(versions) == len(groups), (len(functions), len(aliases), len(groups))
    for name in functions:
        variables = functions[name]["Properties"]["Environment"]["Variables"]
        assert "METRICS_NAMESPACE" in variables and len(variables) > 1, name
        alias = first[f"{name}Aliaslive"]
        assert list(names_in(alias["Properties"]["FunctionVersion"])) == [f"{name}Version1795000000"], name
        policy = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = first[next(names_in(policy["DeploymentGroupName"]))]["Properties"]
        condition, watched, unwatched = group["AlarmConfiguration"]["Fn::If"]
        assert (condition, unwatched) == ("IsWatched", {}), group
        assert watched == {"Enabled": True, "Alarms": [{"Name": {"Ref": watcher(name)}}]}, (name, watched)
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"], name
        assert "Canary10Percent5Minutes" in str(group["DeploymentConfigName"]), group["DeploymentConfigName"]
        # Lambda publishes no version of an unchanged function, which CloudFormation treats as a failure.
        assert functions[name]["Properties"]["Description"].endswith(" 1795000000"), name

    # Every caller calls the alias, except the function URL: an alias would have another URL.
    callers = 0
    url = {"WebhookUrlIsPublic", "WebhookUrlMayInvoke"}
    for kind in ["AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission"]:
        for name, one in of_type(first, kind).items():
            called = list(names_in(one["Properties"]["FunctionName"]))
            assert called == ["WebhookFunction"] if name in url else all(each in aliases for each in called), (name, one)
            callers += name not in url
    for name, one in of_type(first, "AWS::Scheduler::Schedule").items():
        assert next(names_in(one["Properties"]["Target"]["Arn"])) in aliases, (name, one)
        callers += 1
    for name, one in of_type(first, "AWS::ApiGatewayV2::Api").items():
        called = set(names_in(one["Properties"]["Body"]["paths"])) - {"AWS::Region", "AWS::Partition"}
        assert called and called <= set(aliases), (name, called)
        callers += len(called)
    assert "Qualifier" not in first["WebhookUrl"]["Properties"]
    allowed = first["SchedulerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"]
    for name in ["SweepFunction", "TokenRefreshFunction", "OffboardingFunction"]:
        assert {"Fn::Sub": f"${{{name}.Arn}}:live"} in allowed and {"Fn::GetAtt": [name, "Arn"]} in allowed, allowed

    # A changed parameter alone reaches the aliases only because of the new deployment name.
    second = translated(gradual, Deployment="1795000001", GraphVersion="v26.0")
    assert set(of_type(second, "AWS::Lambda::Version")).isdisjoint(versions), "each version is a new one"
    changed = {name for name in first.keys() ^ second.keys()}
    assert changed == set(versions) | set(of_type(second, "AWS::Lambda::Version")), changed
    print(f"gradual: {len(functions)} functions, each with a version a deployment; {callers} callers, all of the alias")


if __name__ == "__main__":
    sys.exit(main())
